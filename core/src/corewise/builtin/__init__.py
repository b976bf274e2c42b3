"""Plugins that are shipped with core, registered by the same hooks and entry points as anyone's."""
