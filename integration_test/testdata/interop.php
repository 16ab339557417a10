<?php
// Gives each message back as it came; "close 4002 reason" closes with that.
$message = file_get_contents('php://input');
if (str_starts_with($message, 'close ')) {
    header('WS-Close: ' . substr($message, 6));
    return;
}
header('WS-Opcode: ' . $_SERVER['WS_OPCODE']);
echo $message;
