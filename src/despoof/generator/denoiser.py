"""The denoiser: noised latents (N, C, H, W), step (N,), tokens (N, K, D) -> prediction (N, C, H, W)."""

from typing import TYPE_CHECKING

from despoof.generator.config import GeneratorConfig
from despoof.generator.identity import condition_width

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


def build_denoiser(config: GeneratorConfig) -> "UNet2DConditionModel":
    """Return an untrained `UNet2DConditionModel` with cross-attention at every level but one."""
    from diffusers import UNet2DConditionModel

    channels, down, up = config.network.channels, *_blocks(config)
    return UNet2DConditionModel(
        sample_size=config.face_size // 8,
        in_channels=config.autoencoder.latent_channels,
        out_channels=config.autoencoder.latent_channels,
        block_out_channels=channels,
        layers_per_block=config.network.layers,
        norm_num_groups=config.network.groups,
        cross_attention_dim=condition_width(config.identity, config.condition),
        down_block_types=down,
        up_block_types=up,
        # diffusers means the number of heads by this name
        attention_head_dim=config.network.heads or tuple(max(1, width // 32) for width in channels),
    )


def _blocks(config: GeneratorConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    attending = len(config.network.channels) - 1
    down, up = ("CrossAttnDownBlock2D",) * attending, ("CrossAttnUpBlock2D",) * attending
    if config.network.plain_level == "first":
        return ("DownBlock2D", *down), (*up, "UpBlock2D")
    return (*down, "DownBlock2D"), ("UpBlock2D", *up)
