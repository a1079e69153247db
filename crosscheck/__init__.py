"""The same audio and the same weights through other projects' packages and through ours."""
