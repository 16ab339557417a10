<?php
// Put before a script by php-fpm: a file says that it runs, until it has ended.
$mark = __DIR__ . '/var/runs.' . bin2hex(random_bytes(8));
touch($mark);
register_shutdown_function('unlink', $mark);
