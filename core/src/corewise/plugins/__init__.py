"""The plugin host: what a plugin may implement, how plugins are found, and a record of each."""
