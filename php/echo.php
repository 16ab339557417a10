<?php
// Gives each message back as it came: text as text, binary as binary. Naming
// the opcode has an empty message answered too; else nothing would be sent.

$opcode = ($_SERVER['WS_OPCODE'] ?? 'text') === 'binary' ? 'binary' : 'text';

header('WS-Opcode: ' . $opcode);
header('Content-Type: ' . ($opcode === 'binary' ? 'application/octet-stream' : 'text/plain; charset=utf-8'));

readfile('php://input');
