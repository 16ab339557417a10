package fastcgi

// Down returns why the server cannot be reached, as far as is known: the error
// of the last attempt to connect, until one succeeds. Nil means that it could
// be reached, or that nobody has tried.
func (c *Client) Down() error {
	if err := c.downError(); err != nil {
		return err
	}
	return nil
}
