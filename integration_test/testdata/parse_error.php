<?php
this is no php(
