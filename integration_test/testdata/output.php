<?php
// Writes body bytes: "size" at once, or "size step" with a flush per step.
header('Content-Type: application/octet-stream');
[$size, $step] = explode(' ', file_get_contents('php://input')) + [1 => 0];
while (ob_get_level()) ob_end_clean();
if (!$step) {
    for ($left = (int) $size; $left > 0; $left -= $n) {
        $n = min($left, 1 << 20);
        echo str_repeat('x', $n);
    }
    return;
}
for ($left = (int) $size; $left > 0; $left -= $n) {
    $n = min($left, (int) $step);
    echo str_repeat('x', $n);
    flush();
}
