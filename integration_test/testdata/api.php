<?php
// An ordinary page, or a script on the command line, that calls one method of
// WsFpm\Api after another and prints what came of each. It knows nothing of
// WebSockets: where the API is, WS_API says, of the pool or the environment.
//
// The calls are JSON: [["publish", "room:1", "hi"], …]; {"binary": "base64"}
// stands for bytes. "wait" waits until a file is there.
require __DIR__ . '/WsFpm.php';

$json = PHP_SAPI === 'cli' ? stream_get_contents(STDIN) : file_get_contents('php://input');
$api = new WsFpm\Api;
$results = [];
foreach (json_decode($json, true, 32, JSON_THROW_ON_ERROR) as $arguments) {
    $method = array_shift($arguments);
    if ($method === 'wait') {
        touch($arguments[0] . '.waiting');
        for ($n = 0; !file_exists($arguments[0]) && $n < 1500; $n++) {
            usleep(20000);
            clearstatcache();
        }
        continue;
    }
    foreach ($arguments as $n => $a) {
        $arguments[$n] = isset($a['binary']) && is_array($a) ? new WsFpm\Binary(base64_decode($a['binary'])) : $a;
    }
    try {
        $results[] = $api->$method(...$arguments);
    } catch (WsFpm\ApiException $e) {
        $results[] = ['code' => $e->getCode(), 'notDone' => $e->notDone(), 'says' => $e->getMessage()];
    }
}
header('Content-Type: application/json');
echo json_encode($results);
