"""The annotator: point, see, correct and export in a browser or a notebook; a server, projects on disk, and a page."""
