<?php
echo json_encode(["status" => "ok", "message" => "websocket test", "payload" => [$_REQUEST, $_SERVER]]);
