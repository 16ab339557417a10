<?php
// What arrived, without sending it back.
$body = file_get_contents('php://input');
echo strlen($body), ' ', md5($body), ' ', count($_POST), ' ', $_SERVER['CONTENT_LENGTH'] ?? 'none';
