"""The denoiser: noised latents (N, C, H, W), step (N,), tokens (N, K, D) -> prediction (N, C, H, W)."""

from typing import TYPE_CHECKING

from despoof.generator.config import GeneratorConfig
from despoof.generator.identity import condition_width

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


def build_denoiser(config: GeneratorConfig) -> "UNet2DConditionModel":
    """Return an untrained `UNet2DConditionModel` with cross-attention at every level but the first."""
    from diffusers import UNet2DConditionModel

    channels, levels = config.network.channels, len(config.network.channels)
    return UNet2DConditionModel(
        sample_size=config.face_size // 8,
        in_channels=config.autoencoder.latent_channels,
        out_channels=config.autoencoder.latent_channels,
        block_out_channels=channels,
        layers_per_block=config.network.layers,
        norm_num_groups=config.network.groups,
        cross_attention_dim=condition_width(config.identity, config.condition),
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
        up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
        # diffusers means the number of heads by this name; heads of dimension 32
        attention_head_dim=tuple(max(1, width // 32) for width in channels),
    )
