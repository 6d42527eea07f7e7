"""HTTP for every page: headers, the cross-site check, errors and JSON routes."""
