<?php
// Reads as many bytes of its body as QUERY_STRING says, and leaves the rest.
$in = fopen('php://input', 'r');
if ($_SERVER['QUERY_STRING']) fread($in, (int) $_SERVER['QUERY_STRING']);
echo 'read some';
