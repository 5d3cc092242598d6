#!/bin/sh
# The root filesystem has been waited for long enough: volumes that lack disks, too.
/sbin/breakoff-start now
