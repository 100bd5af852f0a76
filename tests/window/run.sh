#!/bin/bash
# Drives Dimple in a real Blender window: run.sh DIMPLE.zip PICTURES_FOLDER [drive.py or skin.py]
#
# BLENDER=path             a Blender on this machine's screen
# DIMPLE_BLENDER_GUI=path  without BLENDER: a tool that opens a Blender window where there is no screen,
#                          `TOOL setup`, `TOOL shot EXTENSION.zip SCRIPT.py OUT.png`
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
zip=$(readlink -e "$1")
script=$here/${3:-drive.py}
mkdir -p "$2"
picture=$(readlink -f "$2")/window.png

if [ -n "${BLENDER:-}" ]; then
    profile=$(mktemp -d)
    trap 'rm -rf "$profile"' EXIT
    export BLENDER_USER_RESOURCES=$profile
    "$BLENDER" --command extension install-file -r user_default -e "$zip"
    timeout 900 "$BLENDER" --enable-event-simulate --window-geometry 0 0 1600 1000 \
        --python "$here/at_screen.py" -- bl_ext.user_default.dimple "$script" "$picture"
else
    tool=${DIMPLE_BLENDER_GUI:-$here/../../../shared/tools/blender-gui}
    "$tool" setup
    BLENDER_GUI_TIMEOUT=${BLENDER_GUI_TIMEOUT:-900} "$tool" shot "$zip" "$script" "$picture"
fi
ls "$(dirname "$picture")"
