"""A folder of plain files that judges in the browser: `page/` is what runs there, this package writes the rest.

`export_web` puts beside the page ONNX files, ONNX Runtime Web and despoof.json, which tells the page every number that
Python judges by.
"""
