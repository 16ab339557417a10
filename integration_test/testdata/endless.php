<?php
// Flushes a tick every 20 ms until nobody listens.
require __DIR__ . '/record.inc.php';
$id = file_get_contents('php://input');
register_shutdown_function(function () use ($id) { record("$id ended"); });
while (ob_get_level()) ob_end_clean();
record("$id began");
for (;;) {
    echo "tick\n";
    flush();
    usleep(20000);
}
