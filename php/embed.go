// Package php holds what `ws-fpm demo` runs and shows: PHP scripts that answer
// messages, and a page to send them from.
package php

import "embed"

// Files holds the scripts at its top (ws.php, echo.php, slow.php, fatal.php)
// and the page in the directory page, whose files refer to one another by
// relative addresses and need nothing from elsewhere: the policy
// "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';
// connect-src 'self' ws: wss:" is enough for it.
//
//go:embed *.php page
var Files embed.FS
