<?php
// Streams without end, and notes its process, how far it is, and that the
// generator was ended in good order, before run() returned.
require __DIR__ . '/WsFpm.php';

(new WsFpm\Script)
    ->message(function (WsFpm\Event $event, WsFpm\Reply $reply) {
        $reply->stream((function () {
            file_put_contents(__DIR__ . '/var/pid', getmypid());
            try {
                for ($n = 1;; $n++) {
                    file_put_contents(__DIR__ . '/var/count', $n);
                    yield str_pad("$n ", 8192, 'x');
                }
            } finally {
                file_put_contents(__DIR__ . '/var/ended', $n);
            }
        })());
    })
    ->run();

file_put_contents(__DIR__ . '/var/after', file_exists(__DIR__ . '/var/ended') ? '1' : '2');
