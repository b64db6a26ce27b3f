"""The data engine: from videos to a data set, by people and models together (SAM 2 paper, section 5)."""
