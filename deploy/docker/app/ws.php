<?php
$message = json_decode(file_get_contents('php://input'), true);
header('Content-Type: application/json');
echo json_encode(['you said' => $message['text'] ?? '', 'at' => date('H:i:s')]);
