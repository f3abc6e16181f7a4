"""Our weights and public models on one prepared set, side by side: errors, steadiness, size, time, licence."""
