"""What of the cue carries information on liveness, by leaving cameras out."""
