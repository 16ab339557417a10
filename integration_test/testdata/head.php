<?php
// Sends a header of as many bytes as the body says.
header('X-Long: ' . str_repeat('h', (int) file_get_contents('php://input')));
echo 'body';
