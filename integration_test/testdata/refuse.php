<?php
// Refuses everybody with the query string that they came with, and records it.
require __DIR__ . '/record.inc.php';
record("{$_SERVER['WS_EVENT']} {$_SERVER['REQUEST_URI']}");
http_response_code(409);
header('Content-Type: text/plain');
echo $_SERVER['QUERY_STRING'];
