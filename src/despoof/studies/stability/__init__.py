"""How steady verdicts are: captures disturbed as cameras, networks and screens would, and judged again."""
