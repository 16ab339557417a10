<?php
// Writes 6.5 MB before it reads its body.
while (ob_get_level()) ob_end_clean();
for ($i = 0; $i < 100; $i++) echo str_repeat('y', 65000);
echo md5(file_get_contents('php://input'));
