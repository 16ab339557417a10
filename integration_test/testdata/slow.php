<?php
// The body says how many microseconds to work, then answers with it.
require __DIR__ . '/record.inc.php';
$body = file_get_contents('php://input');
[$us, $id] = explode(' ', $body, 2) + [1 => ''];
if ($id !== '') record($id);
for ($end = microtime(true) + $us / 1e6; ($left = $end - microtime(true)) > 0;) usleep((int) ($left * 1e6) + 1);
echo $body;
