<?php
// Answers at once and works on for as many microseconds as the body says.
require __DIR__ . '/record.inc.php';
echo 'done';
$us = (int) file_get_contents('php://input');
fastcgi_finish_request();
usleep($us);
record('finished');
