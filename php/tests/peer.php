<?php
// Plays the control API for api.php: reads a plan from standard input, a list
// of connections, each a list of answers, and does as it says. An answer of
// null closes at once; after the last answer the connection is closed, unless
// that is true, which keeps it open. Each request is a line of output.

declare(strict_types=1);

$server = stream_socket_server($argv[1], $errno, $text);
echo stream_socket_get_name($server, false), "\n";
$open = [];
foreach (unserialize(stream_get_contents(STDIN)) as $answers) {
    $c = stream_socket_accept($server, 20);
    foreach ($answers as $answer) {
        if ($answer === true) {
            $open[] = $c;
            continue 2;
        }
        if ($answer === null) {
            break;
        }
        $request = '';
        while (strpos($request, "\r\n\r\n") === false && !feof($c)) {
            $request .= fread($c, 8192);
        }
        [$head, $body] = explode("\r\n\r\n", $request, 2) + [1 => ''];
        $length = preg_match('/^Content-Length: (\d+)/mi', $head, $m) ? (int) $m[1] : 0;
        while (strlen($body) < $length && !feof($c)) {
            $body .= fread($c, 8192);
        }
        echo json_encode([$head, $body]), "\n";
        foreach ((array) $answer as $part) {
            fwrite($c, $part);
        }
    }
    fclose($c);
}
