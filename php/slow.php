<?php
// Takes as many seconds as the message says, 2 if it says none and 10 at
// most. The next message of the same connection waits for its turn.

$body = trim(file_get_contents('php://input'));
$seconds = is_numeric($body) ? min(max((float) $body, 0.0), 10.0) : 2.0;

$begin = microtime(true);
usleep((int) ($seconds * 1e6));

header('Content-Type: application/json');
echo json_encode(['status' => 'ok', 'slept' => round(microtime(true) - $begin, 3)]);
