<?php
// The body is an id; one ending in "!" kills its worker after it was recorded.
require __DIR__ . '/record.inc.php';
$id = file_get_contents('php://input');
record($id);
if (str_ends_with($id, '!')) posix_kill(getmypid(), 9);
echo $id;
