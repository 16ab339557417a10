<?php
// Counts executions: one line per run, whole lines only.
function record(string $id): void
{
    file_put_contents(__DIR__ . '/var/ids', "$id\n", FILE_APPEND | LOCK_EX);
}
