"""What a few labelled faces of a camera never seen are worth, by leaving cameras out."""
