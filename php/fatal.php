<?php
// Ends in a fatal error, to show what a client sees of one.

header('Content-Type: application/json');

this_function_does_not_exist();
