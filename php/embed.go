// Package php holds what `ws-fpm demo` runs and shows: PHP scripts that answer
// messages, and a page to send them from.
package php

import "embed"

// Files holds the scripts at its top (ws.php, echo.php, slow.php, fatal.php),
// the chat in the directory examples, with its page, and the page in the
// directory page. The files of both pages refer to one another by
// relative addresses and need nothing from elsewhere: the policy
// "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';
// connect-src 'self' ws: wss:" is enough for it.
//
//go:embed *.php page examples/chat*
var Files embed.FS
