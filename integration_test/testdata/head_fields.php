<?php
header('Set-Cookie: a=1');
header('Set-Cookie: b=2', false);
header('WS-Close: 4001 over');
header('X-Empty:');
header('Content-Length: 99');
http_response_code((int) file_get_contents('php://input'));
echo 'body';
