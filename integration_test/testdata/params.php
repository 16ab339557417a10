<?php
header('Content-Type: application/json');
echo json_encode($_SERVER, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR);
