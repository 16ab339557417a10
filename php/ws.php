<?php
// Answers each message with what PHP was given for it: the request variables
// and the server variables, as JSON.

header('Content-Type: application/json');

echo json_encode(
    ['status' => 'ok', 'payload' => [$_REQUEST, $_SERVER]],
    JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE
);
