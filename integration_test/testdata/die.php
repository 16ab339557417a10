<?php
// Ends its own worker by the signal the body names, maybe after some output,
// or only once that was heard.
require __DIR__ . '/record.inc.php';
[$signal, $when, $id] = explode(' ', file_get_contents('php://input'), 3);
record($id);
if ($when === 'flushed' || $when === 'heard') {
    echo 'partial';
    while (ob_get_level()) ob_end_flush();
    flush();
}
while ($when === 'heard' && @file_get_contents(__DIR__ . '/var/heard') !== $id) usleep(1000);
if ($when === 'child') exec('sleep 2 >/dev/null 2>&1 &');
posix_kill(getmypid(), (int) $signal);
sleep(5);
