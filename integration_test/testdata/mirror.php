<?php
// Gives each message back as it came, an empty one too.
header('WS-Opcode: ' . $_SERVER['WS_OPCODE']);
echo file_get_contents('php://input');
