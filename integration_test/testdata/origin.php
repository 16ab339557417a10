<?php
// Lets everybody in, records each event with its Origin, and answers with what
// a program would ask of a web server.
require __DIR__ . '/record.inc.php';
record("{$_SERVER['WS_EVENT']} " . ($_SERVER['HTTP_ORIGIN'] ?? ''));
header('WS-Accept: yes');
if ($_SERVER['WS_EVENT'] !== 'message') exit;
header('Content-Type: application/json');
$names = ['HTTPS', 'REQUEST_SCHEME', 'REMOTE_ADDR', 'SERVER_NAME', 'SERVER_ADDR', 'SERVER_PORT', 'HTTP_HOST', 'HTTP_ORIGIN', 'HTTP_COOKIE'];
echo json_encode(['said' => file_get_contents('php://input')] + array_intersect_key($_SERVER, array_flip($names)));
