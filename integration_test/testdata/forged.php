<?php
// Nobody asks for this: it runs only if bytes of a body were taken for records.
require __DIR__ . '/record.inc.php';
record('forged');
echo 'forged';
