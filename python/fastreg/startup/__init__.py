# SPDX-License-Identifier: Apache-2.0
"""What runs in a script's process before the script does. Imports no other part of fastreg."""
