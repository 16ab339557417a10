<?php
// Like slow.php, and a file var/busy.PID says that it is in the middle of it.
require __DIR__ . '/record.inc.php';
$body = file_get_contents('php://input');
[$us, $id] = explode(' ', $body, 2);
record($id);
touch($mark = __DIR__ . '/var/busy.' . getmypid());
usleep((int) $us);
unlink($mark);
echo $body;
