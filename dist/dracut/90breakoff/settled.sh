#!/bin/sh
# Each time that udev has nothing left to do: volumes whose disks are all there.
/sbin/breakoff-start
