<?php
// An ordinary page that reaches a room of the chat: no WebSocket has to do with
// it. Where the control API is, WS_API says, in php-fpm's pool:
//     env[WS_API] = unix:/run/ws-fpm/control.sock

require_once __DIR__ . '/../WsFpm.php';
require_once __DIR__ . '/chat-rooms.php';

[$room, $text] = array_map(fn($field) => is_string($_POST[$field] ?? null) ? $_POST[$field] : '', ['room', 'text']);
$name = visitor();
if (($_SERVER['HTTP_SEC_FETCH_SITE'] ?? 'same-origin') !== 'same-origin' || !may_enter($name, $room) || strlen($text) > 2000) {
    http_response_code(403);
    exit;
}
$delivered = (new WsFpm\Api)->publish("chat/$room", ['from' => $name, 'text' => $text, 'at' => time(), 'by' => 'a web page']);
header('Content-Type: text/plain; charset=utf-8');
echo "delivered to $delivered";
