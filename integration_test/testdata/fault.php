<?php
// Fails in the way the body names.
function flushed() { while (ob_get_level()) ob_end_flush(); flush(); }
switch (file_get_contents('php://input')) {
    case 'fatal': undefined_function();
    case 'fatal after flush': echo 'partial'; flushed(); undefined_function();
    case 'stderr around': error_log('before'); echo 'out'; flushed(); error_log('between'); echo 'put'; flushed(); error_log('after'); break;
    case 'exit 3': echo 'bye'; exit(3);
    case 'memory': ini_set('memory_limit', '4M'); str_repeat('x', 8 << 20);
    case 'time': set_time_limit(1); for (;;);
    case 'exception': throw new Exception('thrown');
    default: echo 'fine';
}
