<?php
// Gives each message back as it came.
//
//     [route /ws]
//     script = /path/to/examples/echo.php

require_once __DIR__ . '/../WsFpm.php';

(new WsFpm\Script)
    ->message(function (WsFpm\Event $event, WsFpm\Reply $reply) {
        if ($event->opcode === 'binary') {
            $reply->binary($event->body);
        } else {
            $reply->send($event->body);
        }
    })
    ->run();
