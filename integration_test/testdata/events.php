<?php
// Records each event's begin and end, and obeys the orders in the query (do= at
// connect, bye= at disconnect) or, of a message, in the body behind "do ": one a line.
$event = $_SERVER['WS_EVENT'] ?? 'none';
function note(string $what, array $more = []): void
{
    $line = ['what' => $what, 'at' => microtime(true), 'event' => $_SERVER['WS_EVENT'],
        'id' => $_SERVER['WS_CONNECTION_ID'] ?? '', 'seq' => (int) ($_SERVER['WS_EVENT_SEQ'] ?? -1)] + $more;
    file_put_contents(__DIR__ . '/var/events', json_encode($line, JSON_INVALID_UTF8_SUBSTITUTE) . "\n", FILE_APPEND | LOCK_EX);
}
function flushed(): void
{
    while (ob_get_level()) ob_end_flush();
    flush();
}
register_shutdown_function(fn () => note('end'));
$params = array_filter($_SERVER, fn ($v, $k) => is_string($v) && !in_array($k, ['PATH', 'HOME', 'USER']), ARRAY_FILTER_USE_BOTH);
note('begin', ['params' => $params]);

header('Content-Type: text/plain');
$body = file_get_contents('php://input');
$orders = $event === 'message' ? (str_starts_with($body, 'do ') ? substr($body, 3) : "body $body")
    : ($event === 'connect' ? $_GET['do'] ?? 'header WS-Accept: yes' : ($event === 'disconnect' ? $_GET['bye'] ?? '' : ''));
foreach (explode("\n", $orders) as $order) {
    [$word, $rest] = explode(' ', $order, 2) + [1 => ''];
    switch ($word) {
        case 'accept': header('WS-Accept: yes'); break;
        case 'header': header(stripcslashes($rest), str_starts_with($rest, 'Content-Type')); break;
        case 'headers': for ($i = 0; $i < $rest; $i++) header("X-$i: v"); break;
        case 'status': http_response_code((int) $rest); break;
        case 'body': echo $rest; break;
        case 'bytes': echo stripcslashes($rest); break;
        case 'big': echo str_repeat('x', (int) $rest); break;
        case 'params': echo json_encode(array_intersect_key($_SERVER, array_flip(explode(',', $rest)))); break;
        case 'sleep': usleep(1000 * (int) $rest); break;
        case 'wait': // for that file, and not for ever
            for ($i = 0; !file_exists(__DIR__ . "/var/$rest") && $i < 1000; $i++) {
                usleep(10_000);
                clearstatcache();
            }
            break;
        case 'die': die($rest);
        case 'error_log': error_log($rest); break;
        case 'sse': header('Content-Type: text/event-stream'); break;
        case 'ndjson': header('Content-Type: application/x-ndjson'); break;
        case 'emit': echo stripcslashes($rest); flushed(); break;
        case 'ticks': // N MS: so many events, with a pause after each
            [$n, $ms] = explode(' ', $rest);
            for ($i = 0; $i < $n; $i++) {
                echo "data: tick $i\n\n";
                flushed();
                usleep(1000 * $ms);
            }
            break;
        case 'fill': // N: so many events of 1000 bytes, and how far it came
            for ($i = 1; $i <= $rest; $i++) {
                echo 'data: ', str_repeat('x', 992), "\n\n";
                flushed();
                file_put_contents(__DIR__ . '/var/filled', (string) $i);
            }
            break;
    }
}
