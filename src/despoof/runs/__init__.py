"""What any run needs: config, folder, seed, progress, checkpoint. Nothing here knows of faces."""
