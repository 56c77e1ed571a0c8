"""One self-contained HTML page of result folders: collected from their files, drawn as SVG, rendered by templates."""
